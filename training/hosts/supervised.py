"""Labels only: the baseline that every semi-supervised run is compared with."""

from training.step import StepBatch, StepContext, StepLosses


class Supervised:
    """L = L_x."""

    uses_unlabeled = False
    strong_recipes: tuple[str, ...] = ()
    ema_decay: float | None = None

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """One pass over the labeled crops."""
        x = batch.labeled
        loss_x = context.supervised_loss(context.student(x.image), x.label, x.weight)
        return StepLosses(loss_x, {"loss_x": loss_x})


def build() -> Supervised:
    """The host without options."""
    return Supervised()
