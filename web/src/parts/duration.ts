// How long something took, for people: in the unit that fits. It must never say that no time was what took less than the
// smallest unit, nor show the length of a clock that went back.

export function duration(ms: number): string {
  if (ms > 0 && ms < 1) return '< 1 ms'
  if (ms < 999.5) return `${Math.max(0, Math.round(ms))} ms`
  const seconds = Math.round(ms / 100) / 10
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
