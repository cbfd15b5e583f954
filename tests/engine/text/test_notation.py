"""Numbers as people write them: a comma and a point are the same sign, and what may mean a thousand is refused."""

import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.text.notation import read_decimals, read_share, read_share_or_bytes, read_share_or_latency


@pytest.mark.parametrize("sign", [".", ","])
def test_either_sign_is_read(sign: str) -> None:
    assert read_share(f"0{sign}25") == 0.25 and read_share(f"12{sign}5 %") == 0.125
    assert read_share_or_bytes(f"1{sign}5MB") == 1_500_000 and read_share_or_latency(f"2{sign}5ms") == 2_500_000


@pytest.mark.parametrize("text", ["1,250", "1.5,5", "0,1,2"])
def test_what_may_be_meant_otherwise_is_refused(text: str) -> None:
    for read in (read_share_or_bytes, read_share_or_latency):
        with pytest.raises(SecateurError):
            read(f"{text}{'MB' if read is read_share_or_bytes else 'ms'}")
    with pytest.raises(ValueError):
        read_decimals(f"{text}; 2")
