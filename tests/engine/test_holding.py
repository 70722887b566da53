"""What an owner's services take up: limits, those who are shown them, and what is offered count the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.replica import Phase
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.testing import FakeLauncher

from .stage import FOLDER, NAME, OWNER, Stage, play


def test_replicas_that_are_not_up_are_held_and_what_is_being_deleted_is_not() -> None:
    """With three wanted and none up, for want of room, the next one is refused as the fourth: so three are shown."""
    judged: list[Held] = []

    class Counting(FakeLauncher):
        def check(self, revision: Revision, *, held: Held, **more: Any) -> Sequence[str]:
            judged.append(held)
            return ()

    stage = Stage()
    stage.launcher_class = Counting
    stage.build()

    async def scene(stage: Stage) -> None:
        stage.world.places = 0
        await stage.create(3, gpus=2)
        await stage.until(lambda: all(each.phase == Phase.GONE.value for each in stage.view.replica_list))
        assert stage.view.gpus == 0
        assert stage.engine.held() == {OWNER: Held(3, 6, 1)}
        await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER), name="other", replicas=1, public=False)
        assert judged[-1] == Held(3, 6, 1)
        assert stage.engine.held() == {OWNER: Held(4, 6, 2)}
        stage.world.places = None
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.engine.held() == {OWNER: Held(4, 6, 2)}
        assert (await stage.engine.delete(OWNER, NAME)).state == "deleting"
        assert len(stage.engine.services(OWNER)) == 2
        assert stage.engine.held() == {OWNER: Held(1, 0, 1)}

    play(scene, stage)
