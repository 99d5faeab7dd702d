"""What stands for sandbox-exec(1): notes its arguments, plays the trial, executes the command unconfined.

The file ``mode`` beside it says how the trial goes: ``denies`` (the second file is not read, as in a
sandbox), ``open`` (nothing is denied), ``broken`` (the profile is not taken).
"""

import json
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


def main():
    arguments = sys.argv[1:]
    with open(os.path.join(FOLDER, "calls"), "a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    with open(os.path.join(FOLDER, "mode")) as file:
        mode = file.read()
    command = arguments[arguments.index("--") + 1 :]
    if mode == "broken":
        print("sandbox-exec: <input string>:3:0: unbound variable: file-reed", file=sys.stderr)
        sys.exit(65)
    if command[0] == "/bin/cat" and mode == "denies":
        with open(command[1]) as file:
            sys.stdout.write(file.read())
        sys.stdout.flush()
        sys.exit(f"cat: {command[2]}: Operation not permitted")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
