//go:build synctests && race

package simulation

// defaultSeeds take less than a minute on two cores under the race detector.
const defaultSeeds = 20
