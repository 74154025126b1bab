"""Alerts on their way out: what is told, and the channels that take it to Slack, Discord, Telegram and others."""
