#!/bin/sh
# Secateur, from wherever its folder lies. Settings of another Python must not reach this one.
here=$(dirname "$(readlink -f "$0")")
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP
exec "$here/python3" -P -m secateur.app.main "$@"
