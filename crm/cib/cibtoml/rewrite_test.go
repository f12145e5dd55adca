package cibtoml

import "flag"

// rewrite renews the golden files with what the tests find.
var rewrite = flag.Bool("rewrite", false, "renew the golden files")
