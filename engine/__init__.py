"""Secateur's engine: open, analyse, score, plan, cut, verify, recover, measure, export.

Knows no Qt; loads torch on use.

In one call, from a live model or the name of one:

    import torch
    from secateur.engine import prune

    smaller = prune(model, torch.randn(2, 3, 224, 224), keep_macs=0.5)
    print(smaller.report)
    smaller.model                     # the same class, smaller, ready to train
    smaller.export_onnx("smaller.onnx")

With data, it measures the metric before and after, and recovers what was lost:

    from secateur.engine import RecoverySettings

    smaller = prune("bundled:resnet", keep_macs=0.5, task="bundled", recovery=RecoverySettings(epochs=3))

Step by step, everything in memory:

    from secateur.engine import ModelSpec, analyse, costs, cut, finish, open_model, score, suggest, verify

    opened = open_model(ModelSpec("torchvision:resnet18"))
    inputs = (torch.randn(2, 3, 224, 224),)
    analysis = analyse(opened.model, inputs)
    scores = finish(score(opened.model, analysis, analysis.empty(), "l1"))
    marked = suggest(analysis, scores, keep_macs=0.5, multiple=16)
    print(costs(analysis, marked).macs)
    smaller = cut(opened.model, analysis, marked, inputs)
    print(finish(verify(opened.model, smaller.model, analysis, marked, inputs, factors=smaller.factors)).difference)

Or as a session, which keeps every state on disk and verifies each cut by itself; what takes several steps
(`prune_state`, `sweep_budgets`, `search_budget`, `compare_with_baselines`) or writes files are functions that take one:

    session = Session()
    opened = finish(session.open(ModelSpec("bundled:resnet")))
    scores = finish(session.score("s0", "taylor"))
    marked = suggest(opened.analysis, scores, keep_macs=0.5, multiple=16)
    smaller = finish(session.cut("s0", marked))
    recovered = finish(session.recover(smaller.id, RecoverySettings(epochs=3)))
    finish(export_state(session, recovered.id, "onnx", "smaller.onnx"))

Long functions return a `Job`, a generator of `Progress`; `finish` runs it to its end. Every name is loaded when it is
first used, so that importing this module costs nothing; `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # pyright: ignore[reportUnknownVariableType]
