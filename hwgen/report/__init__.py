"""Reports: report.json and report.html, assembled from the plan and the results."""
