#!/bin/sh
# What Finder starts. Settings of another Python must not reach this one, and Finder gives the root as working folder.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP
cd "$HOME" || exit 1
exec "$(dirname "$0")/../Resources/secateur/bin/python3" -P -m secateur.app.main "$@"
