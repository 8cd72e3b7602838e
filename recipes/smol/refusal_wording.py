import re

_R = re.compile(
    r"^\W*(i'?m (really |very |so )?sorry|sorry\b|i (can'?t|cannot|can not|won'?t|will not|am (unable|not able)|'m (unable|not able))|i'm (unable|not able)|as an ai)",
    re.I,
)


def is_refusal(t):
    return bool(_R.search(t.strip().replace("\u2019", "'")))
