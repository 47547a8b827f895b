# SPDX-License-Identifier: Apache-2.0
"""The simulated twin on MuJoCo. No ROS.

MuJoCo reads ``MUJOCO_GL`` when it is first imported, so the renderer is chosen here, before any module of this
package imports it.
"""

from wam_ros.sim.graphics import choose_backend

choose_backend()
