class Triton:
    @staticmethod
    def unavailable(device): return "x"
