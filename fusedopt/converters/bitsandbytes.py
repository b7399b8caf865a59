"""bitsandbytes: ``state1`` and ``state2`` with ``absmax`` and the code's values ``qmap``; small tensors in float32."""

import torch

from ..codecs import dynamic_tree
from . import dynamic
from .form import KINDS, Form, Record

NAMES = {"state1": "exp_avg", "state2": "exp_avg_sq"}
SMALLEST = 4096  # elements that it keeps in 8 bits
WRAPPED = "__bnb_optimizer_quant_state__"  # where newer versions put what FSDP must not gather
OPTIONS = {"eps": 0.0, "alpha": 0.0, "t_alpha": None, "t_beta3": None}


class BitsAndBytes(Form):
    """Its Adam, AdamW and Lion; both of the former decay decoupled. Saves 8-bit states as any of its versions loads."""

    holds = tuple(NAMES.values())

    def read(self, record, group, p):
        record = {**record, **record.get(WRAPPED, {})}
        if len(group["betas"]) > 2 or ("state2" not in record and not group["betas"][1]):
            raise ValueError(f"betas {group['betas']} are not those of Adam, AdamW or Lion")
        theirs = [key for key in NAMES if key in record] or ["state1"]
        coded = [key for key in theirs if record[key].dtype == torch.uint8]
        states = {NAMES[key]: _read(record, key) if key in coded else record[key] for key in theirs}
        return Record(states, float(record["step"]), {NAMES[key] for key in coded})

    def write(self, record, group, p):
        theirs = {"step": int(record.step or 0)}
        states = dict(self.fitting(record))
        for i, (key, name) in enumerate(NAMES.items(), start=1):
            if name in record.coded and states[name].numel() >= SMALLEST:
                values = dynamic_tree(KINDS[name] == "signed").to(states[name].device)
                codes, scales = dynamic.encode(states[name], values)
                theirs |= {key: codes, f"qmap{i}": values, f"absmax{i}": scales}
            elif name in states:
                theirs[key] = states[name].float().contiguous()
        return theirs

    def write_group(self, group, records):
        return OPTIONS | super().write_group(group, records)


def _read(record, key):
    i = key.removeprefix("state")
    return dynamic.decode(record[key], record[f"qmap{i}"], record[f"absmax{i}"])
