@echo off
rem Secateur on the command line. Settings of another Python must not reach this one.
setlocal
set PYTHONHOME=
set PYTHONPATH=
set PYTHONSTARTUP=
"%~dp0python.exe" -P -m secateur.app.main %*
