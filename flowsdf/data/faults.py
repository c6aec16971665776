"""The two ways in which input ends: one shape set aside, or the stage stopped."""


class Rejected(Exception):  # noqa: N818
    """One input is at fault and is set aside, under a short stable code and a one-line reason; the others go on."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)  # both arguments, so that it survives pickling
        self.code = code
        self.reason = " ".join(reason.split())

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class Failed(Exception):  # noqa: N818
    """The stage stops: one line that says what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
