"""Labels only: the baseline that every semi-supervised run is compared with."""

from reliability.selection import SelectionMethod
from training.step import Host, StepBatch, StepContext, StepLosses


class Supervised(Host):
    """L = L_x."""

    uses_unlabeled = False

    def check_selection(self, name: str, selection: SelectionMethod) -> None:
        """Refuse methods that need detected boxes; the others measure what the student became.

        Raises:
            ValueError: the method needs boxes.
        """
        if "boxes" in selection.needs:
            raise ValueError(
                f"selection.name: {name!r} needs detected boxes on unlabeled images, but host 'supervised' uses none. "
                "Use selection.name=csl or fixed_threshold, or host.name=unimatch"
            )

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """One pass over the labeled crops."""
        x = batch.labeled
        output = context.student(x.image)
        loss_x = context.supervised_loss(output.logits, x.label, x.weight)
        if output.projection is not None:  # of the host that takes over later; with several processes it must take part
            loss_x = loss_x + 0.0 * output.projection.sum()
        return StepLosses(loss_x, {"loss_x": loss_x}, observed=context.observe_labeled(output, x))


def build() -> Supervised:
    """The host without options."""
    return Supervised()
