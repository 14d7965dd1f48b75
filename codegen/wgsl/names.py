"""Identifiers of WGSL: legal, unique, and as close to the IR's names as they can be."""

from __future__ import annotations

import re

_KEYWORDS = """
 alias break case const const_assert continue continuing default diagnostic discard else enable
false fn for if let loop override requires return struct switch true var while
"""

_RESERVED = """
 NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become
cast catch class co_await co_return co_yield coherent column_major common compile compile_fragment
concept const_cast consteval constexpr constinit crate debugger decltype delete demote
demote_to_helper do dynamic_cast enum explicit export extends extern external fallthrough filter
final finally friend from fxgroup get goto groupshared highp impl implements import inline
instanceof interface layout lowp macro macro_rules match mediump meta mod module move mut mutable
namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null
nullptr of operator package packoffset partial pass patch pixelfragment precise precision premerge
priv protected pub public readonly ref regardless register reinterpret_cast require resource
restrict self set shared sizeof smooth snorm static static_assert static_cast std subroutine super
target template this thread_local throw trait try type typedef typeid typename typeof union unless
unorm unsafe unsized use using varying virtual volatile wgsl where with writeonly yield
"""

_PREDECLARED = """
 array atomic bool f16 f32 i32 u32 ptr sampler sampler_comparison mat2x2 mat2x3 mat2x4 mat3x2
mat3x3 mat3x4 mat4x2 mat4x3 mat4x4 vec2 vec3 vec4 vec2f vec3f vec4f vec2i vec3i vec4i vec2u vec3u
vec4u vec2h vec3h vec4h bitcast all any select arrayLength abs acos acosh asin asinh atan atanh
atan2 ceil clamp cos cosh countLeadingZeros countOneBits countTrailingZeros cross degrees
determinant distance dot dot4U8Packed dot4I8Packed exp exp2 extractBits faceForward
firstLeadingBit firstTrailingBit floor fma fract frexp insertBits inverseSqrt ldexp length log
log2 max min mix modf normalize pow quantizeToF16 radians reflect refract reverseBits round
saturate sign sin sinh smoothstep sqrt step tan tanh transpose trunc workgroupBarrier
storageBarrier read write read_write function private workgroup uniform storage
"""

RESERVED: frozenset[str] = frozenset((_KEYWORDS + _RESERVED + _PREDECLARED).split())
"""Words that a name of ours must not be: keywords, reserved words, and the built-in names that we do not shadow."""

_ILLEGAL = re.compile(r"[^A-Za-z0-9_]")


class Namer:
    """Gives out names that are unique within one scope (and, for a function, within the module around it)."""

    def __init__(self, outer: Namer | None = None) -> None:
        self._outer = outer
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def _is_taken(self, name: str) -> bool:
        if name in self._taken or name in RESERVED:
            return True
        return self._outer is not None and self._outer._is_taken(name)

    def unique(self, wish: str) -> str:
        """`wish` made legal, with a number behind it where it is taken."""
        base = _ILLEGAL.sub("_", wish).lstrip("_") or "v"
        if base[0].isdigit():
            base = "v" + base
        name = base
        n = self._next.get(base, 0)
        while self._is_taken(name):
            n += 1
            name = f"{base}_{n}"
        self._next[base] = n
        self._taken.add(name)
        return name
