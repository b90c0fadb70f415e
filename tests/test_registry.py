"""Registries: aliases, installed packages, and packages that are broken or take a name that is ours."""

import subprocess
import sys

import pytest

from mixedvc import estimators
from mixedvc.errors import MixedVCWarning, OptionError
from mixedvc.registry import Registry

GROUP = "mixedvc_test.things"
MODULES = {
    "fine_things": "class Thing:\n    name = 'fine'\n",
    "decorated_things": "import shared\n\n@shared.registry.register('decorated', 'dec')\nclass Thing:\n    pass\n",
    "shared": f"from mixedvc.registry import Registry\n\nregistry = Registry('thing', {GROUP!r})\n",
    "broken_things": "import a_module_that_nobody_has\n",
    "greedy_things": "class Thing:\n    name = 'ours'\n",
}


def install(folder, package, **points):
    """An installed distribution as pip leaves it: metadata and entry points beside the modules."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder on the path into which distributions are put; its modules are forgotten afterwards."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def registry():
    made = Registry("thing", GROUP)
    made.register("ours", "us", "mine")("the thing of ours")
    return made


def test_an_alias_is_found_and_not_listed_twice(registry):
    assert registry.names() == list(registry) == ["ours"]
    assert registry.get("us") == registry.get("mine") == registry.get("ours") == "the thing of ours"
    assert "us" in registry
    assert "them" not in registry


@pytest.mark.parametrize("name", ["ours", "us"])
def test_a_name_or_an_alias_is_given_once(registry, name):
    with pytest.raises(OptionError, match=f"a second thing called '{name}' cannot be registered"):
        registry.register(name)("another")
    with pytest.raises(OptionError, match=f"a second thing called '{name}' cannot be registered"):
        registry.register("other", name)("another")
    assert registry.names() == ["ours"]


def test_an_unknown_name_lists_the_names_and_guesses(registry):
    with pytest.raises(OptionError, match=r"no thing is called 'our'; did you mean 'ours'\? Registered: ours$"):
        registry.get("our")
    with pytest.raises(OptionError, match="did you mean 'mine'"):
        registry.get("mines")


def test_a_package_s_thing_is_found_by_its_entry_point(registry, outside):
    install(outside, "fine-package", fine="fine_things:Thing")
    assert "fine" in registry
    assert registry.names() == ["ours", "fine"]
    assert registry.get("fine").name == "fine"


def test_nothing_of_a_package_is_imported_while_our_own_names_are_asked_for(registry, outside):
    install(outside, "broken-package", broken="broken_things:Thing")
    assert registry.get("us") == "the thing of ours"
    assert "broken_things" not in sys.modules


def test_a_package_that_cannot_be_imported_is_named_once_and_breaks_nothing_else(registry, outside):
    install(outside, "broken-package", broken="broken_things:Thing")
    install(outside, "fine-package", fine="fine_things:Thing")
    with pytest.warns(
        MixedVCWarning, match="'broken' is not available: package 'broken-package'.*a_module_that"
    ) as seen:
        names = registry.names()
    assert sorted(names) == ["fine", "ours"]
    assert registry.get("fine").name == "fine"
    assert "broken" not in registry
    assert len(seen) == 1
    with pytest.raises(
        OptionError, match=r"no thing is called 'broken': package 'broken-package'.*ModuleNotFoundError"
    ):
        registry.get("broken")


def test_our_own_thing_wins_over_a_package_s_of_the_same_name_or_alias(registry, outside):
    install(outside, "greedy-package", ours="greedy_things:Thing", us="greedy_things:Thing")
    with pytest.warns(MixedVCWarning) as seen:
        assert registry.names() == ["ours"]
    said = sorted(str(warning.message) for warning in seen)
    for name, line in zip(["ours", "us"], said, strict=True):
        assert line == f"package 'greedy-package' brings a thing called {name!r}: ignored, that of 'mixedvc' is used"
    assert registry.get("ours") == registry.get("us") == "the thing of ours"


def test_of_two_packages_with_one_name_the_other_is_named(registry, outside):
    install(outside, "fine-package", fine="fine_things:Thing")
    install(outside, "greedy-package", fine="greedy_things:Thing")
    with pytest.warns(
        MixedVCWarning, match="brings a thing called 'fine': ignored, that of '(fine|greedy)-package' is used"
    ):
        assert registry.names() == ["ours", "fine"]


def test_a_module_may_register_by_decorator_and_by_entry_point(outside):
    install(outside, "decorated-package", decorated="decorated_things:Thing")
    import shared

    assert shared.registry.names() == ["decorated"]
    assert shared.registry.get("dec") is shared.registry.get("decorated")


def test_a_broken_estimator_package_does_not_stop_a_fit(tmp_path):
    """In a process of its own: import mixedvc, fit, and list the names beside a broken package."""
    (tmp_path / "broken_things.py").write_text("raise RuntimeError('half installed')\n")
    info = tmp_path / "broken_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    groups = ("estimators", "likelihoods", "covariances", "structures")
    (info / "entry_points.txt").write_text("".join(f"[mixedvc.{g}]\nbroken = broken_things:T\n" for g in groups))
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import mixedvc as mv\n"
        "print(round(mv.fit('Yield ~ 1 + (1 | Batch)', mv.load_data('dyestuff')).llf, 3), mv.estimators.names())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("-159.827 [")
    assert "'reml'" in done.stdout
    assert done.stderr.count("package 'broken-package' brings it as 'broken_things:T'") >= 3
    assert "RuntimeError: half installed" in done.stderr


def test_every_registered_estimator_is_its_own_class():
    classes = [estimators.get(name) for name in estimators.names()]
    assert len(set(classes)) == len(classes)
    assert [cls.name for cls in classes] == estimators.names()
