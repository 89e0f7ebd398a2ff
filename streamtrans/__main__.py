"""`python -m streamtrans` is the `streamtrans` command."""

from streamtrans.cli import main

main()
