"""Networks, results and pages that tests share."""
