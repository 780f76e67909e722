"""How many bytes each rank of a training run saves: MLPerf Storage's formula for its Llama 3 workloads.

Source: dlio_benchmark/checkpointing/base_checkpointing.py at e1919d7 (get_layer_parameters, get_layer_index,
get_optimization_groups, save_checkpoint); the models' numbers stand in benchmarks/workloads/ml-shard.toml.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pydantic

from mounttool.errors import InputError

_MODEL_BYTES = 2  # fp16
_OPTIMIZER_BYTES = 4  # fp32


class Transformer(pydantic.BaseModel):
    """A model and how it is spread over ranks: tensor x pipeline x data parallel, which is the number of ranks."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    layers: pydantic.PositiveInt
    hidden: pydantic.PositiveInt
    ffn_hidden: pydantic.PositiveInt
    attention_heads: pydantic.PositiveInt
    kv_heads: pydantic.PositiveInt
    vocabulary: pydantic.PositiveInt
    tensor_parallel: pydantic.PositiveInt
    pipeline_parallel: pydantic.PositiveInt
    data_parallel: pydantic.PositiveInt
    zero_stage: Literal[1, 3]

    @property
    def ranks(self) -> int:
        """How many ranks save the whole of it."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    def files(self, rank: int) -> dict[str, int]:
        """Return the bytes of each file that ``rank`` saves, by DLIO's names.

        Raises:
            InputError: there is no such rank.

        """
        if not 0 <= rank < self.ranks:
            raise InputError(f"rank {rank}: expected less than {self.ranks}, the ranks of the model")
        data_rank, model_rank = divmod(rank, self.tensor_parallel * self.pipeline_parallel)
        found = dict(self._model_files(data_rank, model_rank))
        found[f"zero_pp_rank_{data_rank}_mp_rank_{model_rank}_optim_states.pt"] = self._optimizer_bytes()
        return found

    def bytes_of(self, rank: int) -> int:
        """Return all that ``rank`` saves."""
        return sum(self.files(rank).values())

    def _model_files(self, data_rank: int, model_rank: int) -> Iterator[tuple[str, int]]:
        layers = self._layers_of(model_rank // self.tensor_parallel)
        if self.zero_stage == 3:  # each data parallel rank has its part of every layer
            yield f"zero_pp_rank_{data_rank}_mp_rank_{model_rank}_model_states.pt", sum(map(self._layer_bytes, layers))
        elif data_rank == 0 and self.pipeline_parallel > 1:
            for layer in layers:
                yield f"layer_{layer}-model_{model_rank}_model_states.pt", self._layer_bytes(layer)
        elif data_rank == 0:
            yield f"model_{model_rank}_model_states.pt", sum(map(self._layer_bytes, layers))

    def _layers_of(self, stage: int) -> range:
        """The embedding is layer 0 on the first stage; the head and the last norm follow on the last one."""
        each, more = divmod(self.layers, self.pipeline_parallel)
        first = stage * each + min(stage, more) + 1
        last = first + each - (stage >= more)
        return range(0 if stage == 0 else first, (self.layers + 2 if stage == self.pipeline_parallel - 1 else last) + 1)

    def _layer_bytes(self, layer: int) -> int:
        parts = self.data_parallel if self.zero_stage == 3 else 1
        whole = self.hidden // parts
        if layer in {0, self.layers + 1}:
            return _MODEL_BYTES * (self.hidden * self.vocabulary // self.tensor_parallel // parts)
        if layer == self.layers + 2:
            return _MODEL_BYTES * whole
        split = (
            self.hidden * (self.hidden + 2 * self._kv_hidden),
            self.hidden * self.hidden,
            self.hidden * 2 * self.ffn_hidden,
            self.hidden * self.ffn_hidden,
        )
        return _MODEL_BYTES * (2 * whole + sum(part // self.tensor_parallel // parts for part in split))

    def _optimizer_bytes(self) -> int:
        """Master weights and two moments of every parameter, each with five vectors beside it."""
        per_layer = (
            2 * self.hidden
            + self.hidden * (self.hidden + 2 * self._kv_hidden)
            + self.hidden * self.hidden
            + 3 * self.hidden * self.ffn_hidden
        )
        parameters = 2 * self.vocabulary * self.hidden + per_layer * self.layers + self.hidden
        return _OPTIMIZER_BYTES * 3 * (parameters // self.ranks + 5 * self.hidden)

    @property
    def _kv_hidden(self) -> int:
        return self.hidden // self.attention_heads * self.kv_heads
