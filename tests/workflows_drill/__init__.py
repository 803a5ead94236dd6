"""Workers and leaders that die at random in the middle of workflows and fires: `make drill-workflows`."""
