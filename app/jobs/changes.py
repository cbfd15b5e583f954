"""Jobs that compare the predictions of two states, and that read samples to look at."""

from collections.abc import Sequence
from functools import partial

from secateur.engine.errors import SecateurError
from secateur.engine.inspection.changes import Changes, summary
from secateur.engine.jobs import Cancelled
from secateur.engine.tasks.protocol import Sample, Split

from ..document.aspects import Aspect
from ..document.changes_query import ChangesQuery, Trial, TrialQuery
from ..text.translate import counted, sentence
from .job_runner import DocumentJobs

SAMPLES = "samples of changes"
"""What a job is about that reads samples, with their split and rows."""


class ChangesJobs(DocumentJobs):
    """Asks the engine what got worse."""

    def compare(self, query: ChangesQuery, background: bool = False) -> None:
        """Compare two states or baselines; what was not predicted yet is evaluated.

        Args:
            query: Which.
            background: No person asked for it: everything is kept, so that it takes a moment.
        """
        if self._runner.link is None or self._runner.is_asked_already(query, background):
            return
        title = self.tr("Compare the predictions of {0} and {1}").format(query.before, query.after)
        take, fail = partial(self._take, query), partial(self._fail, query)
        self._runner.run(
            title,
            take,
            "changes",
            query.before,
            query.after,
            query.split,
            background=background,
            about=query,
            otherwise=fail,
        )

    def _take(self, query: ChangesQuery, changes: Changes) -> None:
        # First the metrics that were measured on the way: they would make what is known of the states old.
        for name, metric in zip((query.before, query.after), changes.metrics, strict=True):
            self._document.take_measurements(name, metrics=(metric,))
        self._document.contents.changes.take(query, changes)
        self._document.announce(Aspect.CHANGES)

    def _fail(self, query: ChangesQuery, error: SecateurError) -> None:
        if not isinstance(error, Cancelled):
            self._document.contents.changes.failures[query] = sentence(error.message)
        self._document.announce(Aspect.CHANGES)

    def try_without(self) -> None:
        """See what the present state would lose without what is selected, else without what is marked."""
        document, structures = self._document, self._document.to_try
        query, analysis = TrialQuery.of(document.contents.present, structures), document.analysis
        known = document.contents.changes.trials.get(query)
        if analysis is None or not len(structures) or self._runner.is_asked_already(query):
            return
        if known is not None and known.whole:
            document.contents.changes.take_trial(known)
            return document.announce(Aspect.CHANGES)
        removed = analysis.empty()
        removed[structures] = True

        def take(changes: Changes, whole: bool = True) -> None:
            if whole:
                # What the state itself predicts was perhaps measured on the way, and is kept with it.
                document.take_measurements(query.state, metrics=(changes.metrics[0],))
                document.say(sentence(summary(changes)[0]))
            document.contents.changes.take_trial(Trial(query, changes, whole))
            document.announce(Aspect.CHANGES)

        one, many = self.tr("Try without {count} structure"), self.tr("Try without {count} structures")
        self._runner.run(
            counted(len(structures), one, many),
            take,
            "try_without",
            query.state,
            removed,
            about=query,
            arrived=lambda made: take(made[-1], whole=False),
        )

    def read_samples(self, split: Split, rows: Sequence[int]) -> None:
        """Read what samples look like, those that are not known; only the last that are asked for are waited for."""
        known = self._document.contents.changes.samples
        missing = tuple(row for row in rows if (split, row) not in known)
        about = (SAMPLES, split, missing)
        if not missing or self._runner.link is None or self._runner.queue.about(about) is not None:
            return
        waiting = (job for job in self._runner.queue.jobs() if job.method == "samples" and not job.sent)
        self._runner.drop([*waiting])

        def take(samples: tuple[Sample, ...]) -> None:
            self._document.contents.changes.take_samples(split, dict(zip(missing, samples, strict=False)))
            self._document.announce(Aspect.CHANGES)

        self._runner.run(self.tr("Read samples"), take, "samples", split, missing, background=True, about=about)
