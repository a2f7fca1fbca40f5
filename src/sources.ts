// `runcast/sources`: runs that others wrote, to be read by code or shown by `serveSource` of `runcast/http`.
export { fileSource } from './sources/file.ts'
export { type KafkaSource, kafkaSource, type KafkaSourceOptions, type SourceProblem } from './sources/kafka.ts'
export type { Source } from './sources/read-only.ts'
export type { SourceStatus } from './sources/status.ts'
