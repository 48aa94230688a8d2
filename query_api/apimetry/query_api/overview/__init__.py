"""The organization API's figures."""
