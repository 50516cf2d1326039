import pytest
@pytest.mark.parametrize("n",[1,2])
def test_front(frontend, n):
    assert frontend.problems() == []
    frontend.settle(4)
    assert frontend.problems() == []
    assert frontend.workflow()["nodes"] == []
    assert frontend.script_errors == []
    frontend.screenshot(f"/tmp/h/blank{n}.png")
