"""How the scripts of this folder tell a figure with its goal."""


def most(value: float, goal: float, unit: str = " ×", digits: int = 2) -> str:
    """Tell a figure that may be so much at most."""
    return _told(value, goal, unit, digits, "≤", value <= goal)


def least(value: float, goal: float, unit: str = " ×", digits: int = 1) -> str:
    """Tell a figure that must be so much at least."""
    return _told(value, goal, unit, digits, "≥", value >= goal)


def _told(value: float, goal: float, unit: str, digits: int, sign: str, met: bool) -> str:
    return f"{value:.{digits}f}{unit} (goal {sign} {goal:g}{unit}: {'met' if met else '**missed**'})"
