package cib

// ValuesOnly is valuesOnly, for tests that tell which way a check took.
var ValuesOnly = valuesOnly
