"""The rules: one for each operator family. The table below is the whole registry.

To add a rule, write `def rule(context: Context) -> None` in the file of its family and list its operators there.
"""

from collections.abc import Callable

from . import (
    attention,
    convolution,
    elementwise,
    embeddings,
    factories,
    joining,
    norms,
    patches,
    pooling,
    products,
    quantised,
    recurrent,
    reductions,
    routing,
    slicing,
    views,
    vision,
)
from .context import Context, Rule

FAMILIES = (
    views, slicing, joining, factories, products, attention, convolution, norms, pooling, patches, reductions,
    embeddings, routing, recurrent, vision, elementwise, quantised,
)  # fmt: skip
RULES: dict[str, Rule] = {name: rule for family in FAMILIES for name, rule in family.RULES.items()}
"""Operator ("aten.view") to rule."""


def register_rule(operator: str) -> Callable[[Rule], Rule]:
    """Decorate the rule of an operator of your own, in your model's file or any that is imported before it runs.

        @register_rule("mylib::scale")
        def scale(context):
            context.give(context.of("x"))

    Args:
        operator: Its name as `torch.library` has it, "namespace::name". A rule that is there already is replaced.

    Raises:
        ValueError: The name has no namespace.
    """
    namespace, _, name = operator.replace("::", ".").partition(".")
    if not namespace or not name:
        raise ValueError(f"An operator name needs a namespace: mylib::name, not {operator!r}.")

    def register(rule: Rule) -> Rule:
        RULES[f"{namespace}.{name}"] = rule
        return rule

    return register


__all__ = ["RULES", "Context", "Rule", "attention", "elementwise", "quantised", "register_rule", "routing"]
