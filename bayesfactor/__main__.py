"""`python -m bayesfactor`: the same as the command `bayesfactor`."""

from bayesfactor.cli import main

if __name__ == "__main__":
    main()
