"""`curl` for a machine that has none: the few options that the pages use. Run as a program, by tests/docs/reader.py."""

import argparse
import sys
import time
import urllib.error
import urllib.request

#: curl's own exit codes.
_NO_ANSWER, _HTTP_ERROR = 7, 22


def ask(given: argparse.Namespace) -> tuple[int, bytes]:
    """The exit code, and the body; with `-f` an error has none."""
    headers = dict(header.split(": ", 1) for header in given.header)
    try:
        with urllib.request.urlopen(urllib.request.Request(given.url, headers=headers), timeout=30) as answer:
            return 0, answer.read()
    except urllib.error.HTTPError as error:
        return (_HTTP_ERROR, b"") if given.fail else (0, error.read())
    except OSError:
        return _NO_ANSWER, b""


def main() -> int:
    parser = argparse.ArgumentParser()
    for flag in ("-f", "-s", "-S"):
        parser.add_argument(flag, action="store_true", dest={"-f": "fail"}.get(flag))
    parser.add_argument("-H", dest="header", action="append", default=[])
    parser.add_argument("-o", dest="output")
    parser.add_argument("--retry", type=int, default=0)
    parser.add_argument("--retry-delay", type=float, default=1.0)
    parser.add_argument("--retry-all-errors", action="store_true")
    parser.add_argument("url")
    given = parser.parse_args()
    code, body = ask(given)
    while code and given.retry:
        given.retry -= 1
        time.sleep(given.retry_delay)
        code, body = ask(given)
    if given.output != "/dev/null":
        sys.stdout.buffer.write(body)
    return code


if __name__ == "__main__":
    sys.exit(main())
