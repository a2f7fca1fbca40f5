// Where Kafka is. A type alone, without the client of the broker: whoever names it has not always installed that.

/** Where Kafka is, and who we are there. */
export interface KafkaPlace {
  /** `host:port`. */
  readonly brokers: readonly string[]
  readonly tls?: boolean | undefined
  /** PEM of the authority to trust instead of the system's; implies `tls`. */
  readonly ca?: string | undefined
  /** PEM of who we are, for brokers that ask, and of its private key: both or none; they imply `tls`. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly sasl?:
    | {
        readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
        readonly username: string
        readonly password: string
      }
    | undefined
}
