// The values that a configuration is made of (whole numbers, durations, sizes, choices, texts), as zod schemas.
// Their one convention: the message of an issue is the *fix* ("give 1 to 300 (seconds)"); what is wrong is told by
// explain.ts from the issue and the value. So no leaf ever puts a value, which may be secret, into its text.

import { z } from 'zod'
import { durationMs, showBytes, showDuration, sizeBytes } from './duration.ts'
import { oneOf } from './nearest.ts'

/** A whole number from `min` to `max`, both legal. */
export function integer(min: number, max: number, unit = '') {
  const fix = `give ${min} to ${max}${unit === '' ? '' : ` (${unit})`}`
  return z.int({ error: fix }).min(min, { error: fix }).max(max, { error: fix })
}

/** A duration whose bare number is seconds, as the seeds' keys have it; comes out in ms. */
export function seconds(min: number, max: number) {
  return measured(value => durationMs(value), [min * 1000, max * 1000], {
    fix: `give ${min} to ${max} (seconds)`,
    form: 'a duration',
    show: ms => String(ms / 1000),
  })
}

/** A duration that must name its unit, because its key does not say "seconds"; comes out in ms. */
export function duration(minMs: number, maxMs: number) {
  return measured(value => durationMs(value, 'refused'), [minMs, maxMs], {
    fix: `give ${showDuration(minMs)} to ${showDuration(maxMs)}, with its unit (ms, s, m, h, d)`,
    form: 'a duration with a unit',
    show: showDuration,
  })
}

/** A size: a number of bytes, "64KiB", "10MB"; comes out in bytes. */
export function bytes(min: number, max: number) {
  return measured(sizeBytes, [min, max], {
    fix: `give ${showBytes(min)} to ${showBytes(max)}, such as ${min}, "64KiB" or "10MB"`,
    form: 'a size',
    show: showBytes,
  })
}

export function flag() {
  return z.boolean({ error: 'give true or false' })
}

export function choice<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: `give ${oneOf(values)}` })
}

export function text(fix: string, pattern = /\S/) {
  return z.string({ error: fix }).regex(pattern, { error: fix })
}

export function list<T extends z.ZodType>(entry: T, fix: string) {
  return z.array(entry, { error: fix })
}

/** A map whose unknown keys are refused. */
export function section<T extends z.core.$ZodShape>(shape: T) {
  return z.strictObject(shape, { error: `give a map of ${Object.keys(shape).join(', ')}` })
}

/** A section that may be left out, and is then its defaults. */
export function optionalSection<T extends z.core.$ZodShape>(shape: T) {
  return section(shape).prefault({} as never)
}

/** Refuses, with `says` as what is wrong; `%v` in it stands for the value. */
export function refuse(
  context: z.core.$RefinementCtx,
  fault: { says: string; fix: string; path?: (string | number)[] },
): never {
  context.issues.push({
    code: 'custom',
    message: fault.fix,
    params: { says: fault.says },
    input: context.value,
    path: fault.path ?? [],
  })
  return z.NEVER
}

function measured(
  parse: (value: string | number) => number | undefined,
  [min, max]: readonly [number, number],
  words: { fix: string; form: string; show: (value: number) => string },
) {
  return z.union([z.number(), z.string()], { error: words.fix }).transform((raw, context) => {
    const value = parse(raw)
    if (value === undefined) return refuse(context, { says: `%v is not ${words.form}`, fix: words.fix })
    if (value < min) return refuse(context, { says: `%v is below ${words.show(min)}`, fix: words.fix })
    if (value > max) return refuse(context, { says: `%v is above ${words.show(max)}`, fix: words.fix })
    return value
  })
}
