"""A run that is interrupted, and goes on."""

from __future__ import annotations

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_interrupted_run_goes_on_to_the_same_end(
    models_32, true_pictures, tmp_path, monkeypatch, small_extractor
):
    model = models_32["superres"]

    def run(folder, **options):
        return evaluate(
            model,
            true_pictures,
            ("rmse", "fid", "kid", "likelihood"),
            candidates=2,
            batch_size=4,
            save_images=tmp_path / folder / "images",
            report=tmp_path / folder / "report",
            **options,
        )

    whole = run("whole")

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("broken", progress=stop)
    assert not (tmp_path / "broken" / "report" / "index.html").exists()
    log = tmp_path / "broken" / "images" / "evaluate.jsonl"
    done = len(log.read_text().splitlines()) - 1
    assert 3 <= done < 5
    with log.open("a") as file:
        file.write('{"index": 4, "na')  # a write that the break cut short
    (tmp_path / "broken" / "images" / "p1.png").unlink()  # to be made again

    with pytest.raises(CaflowError, match=r"exists") as caught:
        run("broken")
    assert "--skip-existing" in caught.value.hint
    drawn = []
    latent_noise = type(model).latent_noise

    def noting(self, generator, size):
        drawn.append(generator.initial_seed())
        return latent_noise(self, generator, size)

    monkeypatch.setattr(type(model), "latent_noise", noting)
    resumed = run("broken", skip_existing=True)
    expected = {1, *range(done, 5)}
    assert {seed // 1_000_003 for seed in drawn} == expected
    a, b = whole.as_json(), resumed.as_json()
    assert a["likelihood"][0]["histogram"] == b["likelihood"][0]["histogram"]
    for x, y in zip(a["results"], b["results"], strict=True):
        for name, value in x["values"].items():
            assert y["values"][name]["mean"] == pytest.approx(value["mean"], rel=1e-3), name
    assert files(tmp_path / "broken").keys() == files(tmp_path / "whole").keys()

    page = (tmp_path / "broken" / "report" / "index.html").read_text()
    assert [page.count(f'"name": "{name}"') for name in ("p0.png", "p1.png")] == [1, 1]

    with pytest.raises(CaflowError, match="to another run: seed differ"):
        run("broken", skip_existing=True, seed=1)
