# SPDX-License-Identifier: Apache-2.0
"""An integer program given as a sparse matrix, and its way to HiGHS.

What fails in the solver is raised as `SolverFailed`, so that a heuristic's answer can stand.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from billow.capabilities.defrag.highs import SolverFailed, solver
from billow.model.resources import FloatArray, IntArray


@dataclass(frozen=True)
class Program:
    """What is minimised over whole columns from 0 on, and the limits of rows.

    Attributes:
        cost, upper: Of each column.
        row, column, value: Entries of the matrix, in any order.
        row_lower, row_upper: Limits of each row.
        enough: The search ends as soon as the cost is at most this.
    """

    cost: FloatArray
    upper: IntArray
    row: IntArray
    column: IntArray
    value: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    enough: float

    def scaled(self) -> "Program":
        """Return the same with every row divided by what divides all of its coefficients."""
        order = np.argsort(self.row, kind="stable")
        starts = np.searchsorted(self.row[order], np.arange(len(self.row_lower)))
        whole = np.round(self.value).astype(np.int64)
        factor = np.gcd.reduceat(np.abs(whole[order]), starts).astype(np.float64)
        exact = np.minimum.reduceat((whole == self.value)[order], starts)
        factor = np.where(exact & (factor > 0), factor, 1.0)
        upper, lower = self.row_upper / factor, self.row_lower / factor
        return replace(
            self,
            value=self.value / factor[self.row],
            row_upper=np.where(exact, np.floor(upper), upper),
            row_lower=np.where(exact, np.ceil(lower), lower),
        )


@dataclass(frozen=True)
class Effort:
    """How long may be searched: seconds (infinite when nobody counts them) and nodes."""

    seconds: float
    nodes: int


@dataclass(frozen=True)
class Solved:
    """What was found: values (None without an answer), and a cost that no answer can go below."""

    values: IntArray | None
    bound: float


def solved(program: Program, effort: Effort, start: IntArray | None = None) -> Solved:
    """Return the best answer within an effort. Raises SolverFailed.

    Args:
        program: What is minimised.
        effort: How long it may take.
        start: An answer to begin with.
    """
    try:
        highs = _loaded(program.scaled(), effort)
        if start is not None:
            columns = np.arange(len(start), dtype=np.int32)
            highs.setSolution(len(start), columns, start.astype(np.float64))
        highs.run()
        return _outcome(highs)
    except SolverFailed:
        raise
    except Exception as error:  # whatever a foreign library raises
        raise SolverFailed(str(error)) from error


def _loaded(program: Program, effort: Effort) -> Any:  # noqa: ANN401 (highspy brings no types)
    highs = solver(effort.seconds)
    highs.setOptionValue("mip_max_nodes", effort.nodes)
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("objective_target", program.enough + 1e-6)
    highs.passModel(_model(program))
    return highs


def _model(program: Program) -> Any:  # noqa: ANN401 (highspy brings no types)
    import highspy

    order = np.lexsort((program.row, program.column))
    columns = len(program.cost)
    starts = np.searchsorted(program.column[order], np.arange(columns + 1))
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = columns, len(program.row_lower)
    model.col_cost_ = program.cost
    model.col_lower_ = np.zeros(columns)
    model.col_upper_ = program.upper.astype(np.float64)
    model.row_lower_, model.row_upper_ = program.row_lower, program.row_upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = starts.astype(np.int32)
    model.a_matrix_.index_ = program.row[order].astype(np.int32)
    model.a_matrix_.value_ = program.value[order]
    model.integrality_ = [highspy.HighsVarType.kInteger] * columns
    return model


def _outcome(highs: Any) -> Solved:  # noqa: ANN401 (highspy brings no types)
    info = highs.getInfo()
    bound = float(info.mip_dual_bound)
    if int(info.primal_solution_status) != 2:
        return Solved(None, bound)
    values = np.array(highs.getSolution().col_value).round().astype(np.int64)
    return Solved(values, bound)
