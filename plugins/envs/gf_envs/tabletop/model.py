"""The scene as MJCF: table, pedestal, WidowX 250 S from primitives, cube, cards, cameras.

Physics settings were chosen by experiment (docs/protocol.md): a control step is a whole number of 5 ms timesteps; elliptic
friction cones with impratio 10 and three no-slip iterations keep the cube from creeping in the grip; the Euler integrator because
implicitfast changes velocities after the contacts are solved, which made a cube slip 4 mm where it now slips under 1; the fingers
are coupled by an equality constraint as they are by the real gripper's gear, and stiff at their stops. Link masses are those of
the manufacturer's description.
"""

from __future__ import annotations

import math

import numpy as np

from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k

TIMESTEP = 0.005
CARD_PARKED_Z = -0.02
"""Unused cards wait inside the table, out of sight and of reach."""
DEMO_EYE, DEMO_TARGET = (-0.68, -0.80, 0.60), (-0.19, 0.0, 0.09)
"""A camera for people [m]: the whole arm, the cards upright."""
CAMERA, SUN, TABLE_MATERIAL, CUBE_MATERIAL = "third", "sun", "table", "cube"
"""Names of what a :class:`gf_envs.tabletop.dresser.Dresser` changes."""
PAD_INSET = 0.009
"""Distance from the finger joint's coordinate to the pad's inner face (mujoco_menagerie/trossen_wx250s)."""

# Collision classes: the world touches the cube and the arm, the cube touches the arm, the arm doesn't touch itself.
_WORLD = 'contype="1" conaffinity="0"'
_CUBE = 'contype="2" conaffinity="1"'
_ARM = 'contype="0" conaffinity="3"'
_SHOW = 'contype="0" conaffinity="0" group="1"'


def scene_xml() -> str:
    """MJCF of the scene, cards blank; size, anti-aliasing and shadows are set where it is rendered."""
    return f"""
<mujoco model="grinningface_tabletop">
  <compiler angle="radian" autolimits="true" inertiafromgeom="auto"/>
  <option timestep="{TIMESTEP}" integrator="Euler" solver="Newton" cone="elliptic" impratio="10"
    iterations="20" noslip_iterations="3"/>
  <size memory="2M"/>
  <statistic extent="1" center="-0.1 0 0.1"/>
  <visual>
    <quality numquads="1" numslices="20" numstacks="6"/>
    <map znear="0.02" zfar="6" shadowclip="2.0"/>
    <headlight ambient="0.40 0.40 0.40" diffuse="0.28 0.28 0.28" specular="0 0 0"/>
  </visual>
  {_assets()}
  <default>
    <geom solref="0.01 1" condim="3" friction="0.8 0.005 0.0001"/>
    <joint armature="0.1" damping="0" solreflimit="0.01 1" solimplimit="0.99 0.999 0.001"/>
    <default class="pad">
      <geom type="box" condim="4" friction="1.5 0.02 0.0001" priority="1" material="motor" {_ARM}/>
    </default>
  </default>
  <worldbody>
    <light name="{SUN}" pos="-0.2 0.5 1.6" dir="0.1 -0.3 -1" directional="true" castshadow="true"
      diffuse="0.45 0.45 0.43" specular="0.1 0.1 0.1" ambient="0 0 0"/>
    <camera name="{CAMERA}" pos="{_vec(g.CAMERA_EYE)}" xyaxes="{_look_at(g.CAMERA_EYE, g.CAMERA_TARGET)}"
      fovy="{math.degrees(g.CAMERA_FOVY)}"/>
    <camera name="demo" pos="{_vec(DEMO_EYE)}" xyaxes="{_look_at(DEMO_EYE, DEMO_TARGET)}" fovy="42"/>
    <geom name="table" type="box" pos="0 0 -0.02" size="1.6 1.6 0.02" material="table" {_WORLD}/>
    {_robot()}
    <body name="cube" pos="{g.CUBE_X} {g.CUBE_Y} {g.CUBE_HALF_SIZE}">
      <freejoint name="cube"/>
      <geom name="cube" type="box" size="{g.CUBE_HALF_SIZE} {g.CUBE_HALF_SIZE} {g.CUBE_HALF_SIZE}" mass="0.03"
        material="cube" condim="4" {_CUBE}/>
    </body>
    {_cards()}
  </worldbody>
  <contact>
    <exclude body1="base" body2="shoulder"/>
  </contact>
  <equality>
    <joint joint1="left_finger" joint2="right_finger" polycoef="0 1 0 0 0" solref="0.01 1" solimp="0.99 0.999 0.001"/>
  </equality>
  <actuator>
    {_servos()}
    <position name="fingers" joint="left_finger" kp="1000" dampratio="1" forcerange="-25 25"
      ctrlrange="{g.FINGER_CLOSED} {g.FINGER_OPEN}"/>
  </actuator>
  <sensor>
    <contact name="left_touch" geom1="left_pad" geom2="cube" num="1" data="found"/>
    <contact name="right_touch" geom1="right_pad" geom2="cube" num="1" data="found"/>
    <contact name="arm_touch" subtree1="shoulder" geom2="cube" num="1" data="found"/>
  </sensor>
</mujoco>"""


def _assets() -> str:
    return f"""<asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.80 0.84 0.88" rgb2="0.55 0.60 0.66" width="64" height="384"/>
    <material name="{TABLE_MATERIAL}" rgba="0.74 0.64 0.52 1" specular="0.1" shininess="0.1"/>
    <material name="metal" rgba="0.17 0.18 0.20 1" specular="0.4" shininess="0.4"/>
    <material name="motor" rgba="0.09 0.09 0.10 1" specular="0.3" shininess="0.3"/>
    <material name="accent" rgba="0.92 0.58 0.12 1" specular="0.3" shininess="0.3"/>
    <material name="pedestal" rgba="0.42 0.44 0.47 1"/>
    <material name="{CUBE_MATERIAL}" rgba="{_rgb(g.CUBE_RGB)} 1" specular="0.2" shininess="0.2"/>
    <material name="card" rgba="1 1 1 1" specular="0" shininess="0"/>
  </asset>"""


def _cards() -> str:
    size = f"{g.CARD_HALF_SIZE} {g.CARD_HALF_SIZE} {g.CARD_THICKNESS / 2}"
    quarter = _vec(card_quaternion(0.0))
    return "\n    ".join(
        f'<body name="card{i}" mocap="true" pos="{-0.1 + 0.01 * i} 0 {CARD_PARKED_Z}" quat="{quarter}">'
        f'<geom name="card{i}" type="box" size="{size}" material="card" {_WORLD}/></body>'
        for i in range(g.MAX_CARDS)
    )


def card_quaternion(yaw: float) -> tuple[float, float, float, float]:
    """wxyz of a card; at yaw 0 [rad] the picture's top points away from the robot: upright for the camera."""
    if yaw == 0.0:
        # Written out, because the cosine of an eighth turn may differ in the last bit between mathematical libraries.
        return math.sqrt(0.5), 0.0, 0.0, -math.sqrt(0.5)
    half = yaw / 2 - math.pi / 4
    return math.cos(half), 0.0, 0.0, math.sin(half)


def _servos() -> str:
    return "\n    ".join(
        f'<position name="{name}" joint="{name}" kp="300" dampratio="1" ctrlrange="{low} {high}" forcerange="-35 35"/>'
        for name, low, high in zip(k.JOINTS, k.LOWER, k.UPPER, strict=True)
    )


def _joint(index: int, axis: str) -> str:
    return f'<joint name="{k.JOINTS[index]}" axis="{axis}" range="{k.LOWER[index]} {k.UPPER[index]}"/>'


def _finger(side: str, sign: int) -> str:
    """One finger: a bar and a pad whose inner face lies PAD_INSET inside the joint's coordinate."""
    inner = -sign * PAD_INSET
    return f"""
      <body name="{side}_finger" pos="{k.FINGER_X} 0 0" gravcomp="1">
        <joint name="{side}_finger" type="slide" axis="0 {sign} 0" range="{g.FINGER_CLOSED} {g.FINGER_OPEN}" armature="0.05"/>
        <inertial pos="0.0138 0 0" mass="0.016" diaginertia="4.8e-6 3.7e-6 1.5e-6"/>
        <geom name="{side}_pad" class="pad" pos="0.0285 {inner + sign * 0.003} 0" size="0.0165 0.003 0.010"/>
        <geom type="box" pos="0.008 {inner + sign * 0.008} 0" size="0.014 0.006 0.012" material="metal" {_ARM}/>
      </body>"""


def _robot() -> str:
    x, _, base_z = g.BASE_POSITION
    side = g.PEDESTAL_HALF_SIZE
    return f"""
    <geom name="pedestal" type="box" pos="{x} 0 {base_z / 2}" size="{side} {side} {base_z / 2}" material="pedestal"
      {_WORLD}/>
    <body name="base" pos="{_vec(g.BASE_POSITION)}" gravcomp="1">
      <geom type="box" pos="-0.03 0 0.02" size="0.085 0.06 0.02" material="motor" {_SHOW}/>
      <geom type="cylinder" pos="0 0 0.048" size="0.045 0.012" material="metal" {_SHOW}/>
      <body name="shoulder" pos="0 0 {k.SHOULDER_Z}" gravcomp="1">
        {_joint(0, "0 0 1")}
        <inertial pos="0 0 0.0066" mass="0.481" diaginertia="5.9e-4 5.6e-4 3.8e-4"/>
        <geom type="cylinder" pos="0 0 0.006" size="0.042 0.016" material="motor" {_SHOW}/>
        <geom type="box" pos="0 0.030 0.038" size="0.022 0.008 0.026" material="metal" {_SHOW}/>
        <geom type="box" pos="0 -0.030 0.038" size="0.022 0.008 0.026" material="metal" {_SHOW}/>
        <body name="upper_arm" pos="0 0 {k.UPPER_ARM_Z}" gravcomp="1">
          {_joint(1, "0 1 0")}
          <inertial pos="0.0172 0 0.1913" mass="0.431" diaginertia="3.6e-3 3.5e-3 4.0e-4"/>
          <geom type="cylinder" fromto="0 -0.026 0 0 0.026 0" size="0.022" material="accent" {_SHOW}/>
          <geom type="box" pos="0 0 0.125" size="0.020 0.019 0.120" material="metal" {_SHOW}/>
          <geom type="box" pos="0.026 0 0.25" size="0.040 0.017 0.017" material="metal" {_SHOW}/>
          <body name="upper_forearm" pos="{k.ELBOW[0]} 0 {k.ELBOW[1]}" gravcomp="1">
            {_joint(2, "0 1 0")}
            <inertial pos="0.108 0 0" mass="0.235" diaginertia="8.9e-4 8.9e-4 3.9e-5"/>
            <geom type="cylinder" fromto="0 -0.026 0 0 0.026 0" size="0.021" material="accent" {_SHOW}/>
            <geom name="upper_forearm" type="capsule" fromto="0.02 0 0 0.155 0 0" size="0.018" material="metal" {_ARM}/>
            <body name="lower_forearm" pos="{k.FOREARM_ROLL_X} 0 0" gravcomp="1">
              {_joint(3, "1 0 0")}
              <inertial pos="0.0374 0.0052 0" mass="0.221" diaginertia="1.8e-4 1.7e-4 5.9e-5"/>
              <geom name="lower_forearm" type="box" pos="0.026 0 0" size="0.036 0.022 0.020" material="motor" {_ARM}/>
              <body name="wrist" pos="{k.WRIST_X} 0 0" gravcomp="1">
                {_joint(4, "0 1 0")}
                <inertial pos="0.0424 0 0.0106" mass="0.085" diaginertia="3.3e-5 3.1e-5 2.7e-5"/>
                <geom type="cylinder" fromto="0 -0.024 0 0 0.024 0" size="0.017" material="accent" {_SHOW}/>
                <geom name="wrist" type="box" pos="0.030 0 0" size="0.024 0.017 0.017" material="metal" {_ARM}/>
                <body name="gripper" pos="{k.GRIPPER_X} 0 0" gravcomp="1">
                  {_joint(5, "1 0 0")}
                  <inertial pos="0.0325 0 0.0091" mass="0.110" diaginertia="4.0e-4 4.0e-4 4.0e-4"/>
                  <geom name="palm" type="box" pos="0.018 0 0" size="0.022 0.024 0.020" material="motor" {_ARM}/>
                  <geom name="rail" type="box" pos="0.052 0 0" size="0.010 0.056 0.011" material="metal" {_ARM}/>
                  <site name="tool" pos="{k.TOOL_X} 0 0" size="0.002" rgba="0 0 0 0"/>
                  <camera name="wrist" pos="-0.01 0 0.075" xyaxes="0 -1 0 0.42 0 0.91" fovy="69"/>
                  {_finger("left", 1)}
                  {_finger("right", -1)}
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>"""


def _vec(values: tuple[float, ...]) -> str:
    return " ".join(repr(float(v)) for v in values)


def _rgb(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:g}" for v in values)


def _look_at(eye: tuple[float, float, float], target: tuple[float, float, float]) -> str:
    return _vec(look_axes(eye, target))


def look_axes(eye: tuple[float, float, float], target: tuple[float, float, float]) -> tuple[float, ...]:
    """The x and the y axis, six numbers, of a camera that looks from eye to target, upright."""
    forward = np.subtract(target, eye)
    forward = forward / math.sqrt(float((forward**2).sum()))
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / math.sqrt(float((right**2).sum()))
    up = np.cross(right, forward)
    return (*right.tolist(), *up.tolist())
