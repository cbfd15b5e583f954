"""Every action of the window as one record; menus, toolbar, palette and shortcut sheet are made from the table."""

from .command import Command
from .registry import COMMANDS, command_named

__all__ = ["COMMANDS", "Command", "command_named"]
