// Package kafkatest starts Kafka brokers for tests and demonstrations: an
// embedded one that takes milliseconds (Start, Embedded), and a real Apache
// Kafka from a folder of jars (Real).
package kafkatest
