# SPDX-License-Identifier: Apache-2.0
"""X-WAM: one sequence of video, actions and states, a depth branch that only listens, and two speeds of denoising."""
