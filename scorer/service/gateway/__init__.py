"""The gateway: HTTPS in, the queue behind it."""
