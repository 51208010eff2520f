"""`python -m tensorgrad` is the command `tensorgrad`."""
from .cli import main

if __name__ == "__main__":
    main()
