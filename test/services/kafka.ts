// The Kafka broker of the tests: scripts/kafka.ts under the name that the other services have.
export { install, type Kafka, missing, startKafka } from '../../scripts/kafka.ts'
