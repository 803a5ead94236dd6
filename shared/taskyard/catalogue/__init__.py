"""What each task type is: name, queue, parameters, result, policies. No implementation."""
