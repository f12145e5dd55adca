// Package generate makes cluster documents for tests and measurements: Random small ones with one feature each,
// to compare decisions with those of another scheduler, and Load large regular ones to time decisions with.
// Equal arguments give equal documents. It reads no clock and no random source but its seed.
package generate
