"""What the real plugin answers: cases as data, its recorded replies, and their replay on the service."""
