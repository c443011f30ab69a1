//go:build synctests && race

package simulation

// usualSeeds take less than a minute on two cores under the race detector.
const usualSeeds = 20
