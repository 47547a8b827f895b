# SPDX-License-Identifier: Apache-2.0
"""Hand-eye calibration with an error bar: every camera, board and arm base in one least-squares problem.

The way through: ``problem`` (what is known) -> ``consistency`` (can it be true?) -> ``start`` (closed forms) ->
``excitation`` (does it say enough?) -> ``solve`` (joint refinement) -> ``outliers`` (who disagrees?) ->
``precision`` (how sure?) -> ``verify`` (poses it has not seen). ``calibrate`` walks it; ``proposal`` says which
pose to take next.
"""
