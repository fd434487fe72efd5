# SPDX-License-Identifier: Apache-2.0
"""Linear and integer programs, solved by HiGHS: the only file that speaks to it.

What fails in the solver is raised as `SolverFailed`, so that a heuristic's answer can stand.

Source: Huangfu & Hall, "Parallelizing the dual revised simplex method", Math. Prog. Comp. 10
(2018).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from billow.capabilities.defrag.columns import Columns
from billow.model.resources import FloatArray


class SolverFailed(Exception):
    """HiGHS is missing, or gave no answer. Never reaches a user: the heuristic's answer stands."""


@dataclass(frozen=True)
class Model:
    """What is minimised over columns, and the limits of rows and columns."""

    cost: FloatArray
    upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray


@dataclass(frozen=True)
class Outcome:
    """What HiGHS found; `values` are None when there is no answer, `proven` when that is final."""

    values: FloatArray | None
    duals: FloatArray
    objective: float
    bound: float
    proven: bool


class Relaxation:
    """A linear program that grows by columns and rows and is solved again from where it was."""

    def __init__(self, time_limit_s: float) -> None:
        self._highs = solver(time_limit_s)
        self._columns = 0
        self._rows = 0

    def solve(self, columns: Columns, model: Model) -> Outcome:
        """Bring what is new and solve. Raises SolverFailed."""
        try:
            self._grow(columns, model)
            self._highs.run()
            return self._outcome()
        except Exception as error:  # whatever a foreign library raises
            raise SolverFailed(str(error)) from error

    def _grow(self, columns: Columns, model: Model) -> None:
        rows = len(columns.rows)
        fresh = rows - self._rows
        if fresh:
            lower, upper = model.row_lower[self._rows :], model.row_upper[self._rows :]
            nothing = np.zeros(0)
            starts = np.zeros(fresh, dtype=np.int32)
            self._highs.addRows(fresh, lower, upper, 0, starts, nothing.astype(np.int32), nothing)
        self._rows = rows
        first, count = self._columns, len(columns.names)
        if count > first:
            entries = columns.entries[first:]
            lengths = [len(numbers) for numbers, _ in entries]
            starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int32)
            index = np.array([n for numbers, _ in entries for n in numbers], dtype=np.int32)
            value = np.array([v for _, values in entries for v in values], dtype=np.float64)
            self._highs.addCols(
                count - first,
                model.cost[first:],
                np.zeros(count - first),
                model.upper[first:],
                len(index),
                starts,
                index,
                value,
            )
        self._columns = count

    def _outcome(self) -> Outcome:
        highs, name = self._highs, _status(self._highs)
        if name != "Optimal":
            raise SolverFailed(name)
        solution = highs.getSolution()
        value = float(highs.getInfo().objective_function_value)
        duals = np.array(solution.row_dual, dtype=np.float64)
        return Outcome(np.array(solution.col_value), duals, value, value, proven=True)


def integer(columns: Columns, model: Model, target: float, time_limit_s: float) -> Outcome:
    """Solve with whole numbers; stop once the objective is at most `target`.

    Raises:
        SolverFailed: HiGHS is missing or broke; no answer in time is an outcome.
    """
    try:
        highs = solver(time_limit_s)
        highs.setOptionValue("objective_target", target)
        highs.setOptionValue("mip_rel_gap", 0.0)
        highs.passModel(_whole(columns, model))
        highs.run()
        return _integer_outcome(highs)
    except Exception as error:  # whatever a foreign library raises
        raise SolverFailed(str(error)) from error


def _integer_outcome(highs: Any) -> Outcome:  # noqa: ANN401 (highspy brings no types)
    status, info = _status(highs), highs.getInfo()
    found = int(info.primal_solution_status) == 2
    values = np.array(highs.getSolution().col_value).round() if found else None
    proven = status in {"Optimal", "Infeasible"}
    return Outcome(
        values,
        np.zeros(0),
        float(info.objective_function_value),
        float(info.mip_dual_bound),
        proven=proven,
    )


def solver(time_limit_s: float) -> Any:  # noqa: ANN401 (highspy brings no types)
    """Return HiGHS, silent and the same each time. Raises SolverFailed when it is missing."""
    try:
        import highspy  # (a pool must be planned for without it, too)
    except ImportError as error:
        raise SolverFailed("HiGHS is not installed") from error
    highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("random_seed", 0)
    highs.setOptionValue("time_limit", max(time_limit_s, 0.01))
    return highs


def _whole(columns: Columns, model: Model) -> Any:  # noqa: ANN401 (highspy brings no types)
    import highspy

    starts, index, value = columns.matrix()
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(columns.names), len(columns.rows)
    program.col_cost_ = model.cost
    program.col_lower_ = np.zeros(len(columns.names))
    program.col_upper_ = model.upper
    program.row_lower_, program.row_upper_ = model.row_lower, model.row_upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = starts.astype(np.int32)
    program.a_matrix_.index_ = index.astype(np.int32)
    program.a_matrix_.value_ = value
    program.integrality_ = [highspy.HighsVarType.kInteger] * len(columns.names)
    return program


def _status(highs: Any) -> str:  # noqa: ANN401 (highspy brings no types)
    return str(highs.modelStatusToString(highs.getModelStatus()))
