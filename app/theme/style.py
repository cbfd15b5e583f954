"""The style sheet of the window, where labels and buttons say what they are by a `role` property; and the palette."""

from PySide6.QtGui import QColor, QPalette

from .design_tokens import RADIUS, Sizes, Tokens


def palette(tokens: Tokens) -> QPalette:
    """A palette for every colour role that Fusion and the panels read."""
    role = QPalette.ColorRole
    colours = {
        role.Window: tokens.window,
        role.WindowText: tokens.text,
        role.Base: tokens.panel,
        role.AlternateBase: tokens.raised,
        role.Text: tokens.text,
        role.PlaceholderText: tokens.muted,
        role.Button: tokens.raised,
        role.ButtonText: tokens.text,
        role.BrightText: tokens.text,
        role.ToolTipBase: tokens.raised,
        role.ToolTipText: tokens.text,
        role.Highlight: tokens.accent,
        role.HighlightedText: tokens.on_accent,
        role.Accent: tokens.accent,
        role.Link: tokens.accent,
        role.LinkVisited: tokens.accent,
        role.Light: tokens.raised,
        role.Midlight: tokens.line,
        role.Mid: tokens.edge,
        role.Dark: tokens.edge,
        role.Shadow: tokens.line,
    }
    made = QPalette()
    for each, colour in colours.items():
        made.setColor(each, QColor(colour))
    for each in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, each, QColor(tokens.muted))
    return made


def style_sheet(tokens: Tokens, sizes: Sizes | None = None) -> str:
    """The whole sheet, for text of the first size where no other is given."""
    size = sizes or Sizes()
    return _surfaces(tokens, size) + _controls(tokens, size) + _views(tokens, size)


def _surfaces(t: Tokens, size: Sizes) -> str:
    return f"""
QLabel[role="caption"] {{ font-size: {size.caption}px; color: {t.muted}; }}
QLabel[role="muted"] {{ color: {t.muted}; }}
QLabel[role=""] {{ color: {t.text}; }}
QLabel[role="strong"] {{ font-weight: 600; color: {t.text}; }}
QLabel[role="heading"] {{ font-size: {size.heading}px; font-weight: 600; color: {t.text}; }}
QLabel[role="number"] {{ font-size: {size.number}px; font-weight: 600; color: {t.text}; }}
QLabel[role="good"] {{ font-weight: 600; color: {t.accent}; }}
QLabel[role="marked"] {{ font-weight: 600; color: {t.marked}; }}
QWidget[role="small"] {{ font-size: {size.caption}px; }}
QLabel[role="code"] {{ font-size: {size.caption}px; color: {t.muted}; }}
QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.edge}; padding: 4px 6px; }}
QMainWindow, QDialog {{ background: {t.window}; }}
QFrame[role="card"] {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: {RADIUS}px; }}
QFrame[role="error"] {{ background: {t.panel}; border: 1px solid {t.marked}; border-radius: {RADIUS}px; }}
QFrame[role="floating"] {{ background: {t.raised}; border: 1px solid {t.accent}; border-radius: {RADIUS}px; }}
QLabel[role="cover"] {{ background: {t.panel}; color: {t.marked}; padding: 4px; }}
QMainWindow::separator {{ background: transparent; width: 10px; height: 4px; }}
QDockWidget {{ background: {t.window}; }}
QScrollArea, QScrollArea > QWidget > QWidget[role="page"] {{ background: transparent; border: 0; }}
QScrollArea[role="reached"] {{ border: 1px solid transparent; border-radius: 4px; }}
QScrollArea[role="reached"]:focus {{ border-color: {t.accent}; }}
QMenu {{ background: {t.raised}; border: 1px solid {t.edge}; padding: 4px; }}
QMenu::item {{ padding: 5px 24px 5px 16px; border-radius: 4px; }}
QMenu::item:selected {{ background: {t.selection}; color: {t.text}; }}
QMenu::item:disabled {{ color: {t.muted}; }}
QMenu::separator {{ height: 1px; background: {t.line}; margin: 4px 8px; }}
QMenuBar {{ background: {t.window}; }}
QMenuBar::item {{ padding: 4px 8px; background: transparent; border-radius: 4px; }}
QMenuBar::item:selected {{ background: {t.selection}; }}
QStatusBar {{ color: {t.muted}; }}
QStatusBar::item {{ border: 0; }}
"""


def _controls(t: Tokens, size: Sizes) -> str:
    field = "QLineEdit, QAbstractSpinBox, QComboBox"
    focused = "QLineEdit:focus, QAbstractSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus, QTextBrowser:focus"
    return f"""
QPushButton {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.edge}; border-radius: 6px;
    padding: 5px 12px; min-height: {size.px(16)}px; }}
QPushButton:hover {{ border-color: {t.muted}; }}
QPushButton:pressed {{ background: {t.line}; }}
QPushButton:focus {{ border-color: {t.accent}; }}
QPushButton:disabled, QPushButton[inert="true"] {{ color: {t.muted}; background: transparent;
    border-color: {t.line}; }}
QPushButton[inert="true"]:focus {{ border-color: {t.accent}; }}
QPushButton[role="primary"] {{ background: {t.accent}; color: {t.on_accent}; border-color: {t.accent};
    font-weight: 600; }}
QPushButton[role="primary"]:hover, QPushButton[role="primary"]:focus {{ border-color: {t.text}; }}
QPushButton[role="primary"]:disabled, QPushButton[role="primary"][inert="true"] {{ background: {t.line};
    color: {t.muted}; border-color: {t.line}; }}
QPushButton[role="primary"][inert="true"]:focus {{ border-color: {t.text}; }}
QPushButton[role="menu"] {{ padding: 5px 22px 5px 10px; }}
QPushButton[role="small"] {{ padding: 5px 8px; }}
QPushButton[role="chip"] {{ border-radius: 10px; padding: 1px 9px; min-height: {size.px(16)}px;
    font-size: {size.caption}px; }}
QPushButton[role="chip"]:checked {{ background: {t.accent}; color: {t.on_accent}; border-color: {t.accent}; }}
QPushButton[role="chip"]:checked:focus {{ border-color: {t.text}; }}
QPushButton[role="link"] {{ background: transparent; border: 1px solid transparent; color: {t.accent}; padding: 0 3px;
    min-height: {size.px(14)}px; font-weight: 600; border-radius: 4px; }}
QPushButton[role="mark"], QPushButton[role="offer"] {{ background: transparent; border: 1px solid transparent;
    color: {t.text}; padding: 0 3px; min-height: {size.px(18)}px; font-size: {size.caption}px; }}
QPushButton[role="offer"] {{ color: {t.accent}; }}
QPushButton[role="mark"]:hover, QPushButton[role="offer"]:hover {{ text-decoration: underline; }}
QPushButton[role="mark"]:focus, QPushButton[role="offer"]:focus {{ border-color: {t.accent}; }}
QPushButton[role="link"]:hover {{ text-decoration: underline; }}
QPushButton[role="link"]:focus {{ border-color: {t.accent}; }}
QPushButton[role="link"]:disabled {{ color: {t.muted}; }}
QToolButton {{ border: 1px solid transparent; border-radius: 4px; padding: 3px; }}
QToolButton:hover {{ background: {t.hover}; }}
QToolButton:focus {{ border-color: {t.accent}; }}
{field} {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.edge}; border-radius: 6px;
    padding: 4px 8px; min-height: {size.px(18)}px;
    selection-background-color: {t.accent}; selection-color: {t.on_accent}; }}
{focused} {{ border-color: {t.accent}; }}
QLineEdit, QPlainTextEdit {{ placeholder-text-color: {t.muted}; }}
QLineEdit:disabled, QAbstractSpinBox:disabled, QComboBox:disabled, QAbstractSpinBox[inert="true"],
    QComboBox[inert="true"] {{ color: {t.muted}; border-color: {t.line}; }}
QAbstractSpinBox {{ padding: 4px 20px 4px 8px; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ width: 18px; border: 0; background: transparent; }}
QAbstractSpinBox::up-arrow, QAbstractSpinBox::down-arrow {{ image: none; width: 0; height: 0; }}
QComboBox {{ padding: 4px 2px 4px 10px; }}
QComboBox::drop-down {{ width: 22px; border: 0; background: transparent; }}
QComboBox::down-arrow {{ image: none; width: 0; height: 0; }}
QComboBox QAbstractItemView {{ background: {t.raised}; border: 1px solid {t.edge}; padding: 4px; outline: 0;
    selection-background-color: {t.selection}; selection-color: {t.text}; }}
QPlainTextEdit, QTextBrowser {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: 6px; padding: 4px; }}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {{ background: transparent; border: 0; padding: 0; min-height: 0; }}
QAbstractItemView QLineEdit {{ padding: 0 4px; min-height: 0; border-radius: 3px; }}
"""


def _views(t: Tokens, size: Sizes) -> str:
    return f"""
QTreeView, QListView, QTableView {{ background: {t.panel}; border: 1px solid transparent; border-radius: 4px;
    outline: 0; show-decoration-selected: 1; }}
QTreeView:focus, QListView:focus, QTableView:focus {{ border-color: {t.accent}; }}
QTreeView::item {{ height: {size.px(22)}px; }}
QListWidget[role="steps"]::item {{ height: {size.px(22)}px; padding: 0 4px; }}
QListWidget[role="steps"]::item:selected {{ background: {t.selection}; color: {t.text}; }}
QTreeWidget[role="commands"] {{ selection-background-color: {t.selection}; selection-color: {t.text}; }}
QTreeWidget[role="commands"]::item {{ padding: 0 4px; }}
QTreeWidget[role="commands"]::item:selected {{ background: {t.selection}; color: {t.text}; }}
QTreeView::branch {{ image: none; border-image: none; background: transparent; }}
QHeaderView, QTableCornerButton::section {{ background: {t.panel}; border: 0; }}
QHeaderView::section {{ background: {t.panel}; color: {t.muted}; border: 0; border-bottom: 1px solid {t.line};
    padding: 4px 4px; font-size: {size.caption}px; font-weight: normal; }}
QTabBar {{ background: transparent; font-size: {size.body}px; qproperty-drawBase: 0; }}
QTabBar::tab {{ background: transparent; color: {t.muted}; border: 1px solid transparent;
    border-bottom: 2px solid transparent; padding: 6px 11px 6px 11px; }}
QTabBar::tab:hover {{ color: {t.text}; }}
QTabBar::tab:selected {{ color: {t.text}; border-bottom-color: {t.accent}; }}
QTabBar::tab:focus {{ color: {t.accent}; border-color: {t.accent}; }}
QProgressBar {{ background: {t.line}; border: 0; border-radius: 2px; max-height: 5px; min-height: 5px; }}
QProgressBar::chunk {{ background: {t.accent}; border-radius: 2px; }}
QScrollBar {{ background: transparent; border: 0; margin: 0; }}
QScrollBar:vertical {{ width: 10px; }}
QScrollBar:horizontal {{ height: 10px; }}
QScrollBar::handle {{ background: {t.edge}; border-radius: 3px; margin: 2px; }}
QScrollBar::handle:vertical {{ min-height: 28px; }}
QScrollBar::handle:horizontal {{ min-width: 28px; }}
QScrollBar::handle:hover {{ background: {t.muted}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QAbstractScrollArea::corner {{ background: transparent; border: 0; }}
"""
